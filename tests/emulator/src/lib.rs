//! The AWS side of EC2 Instance Connect.
