//! Compares the pages and completions with the program, and checks them with the tools that read them.

mod completions;
mod manual;
mod settings;
mod tools;
