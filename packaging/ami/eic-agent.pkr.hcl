# AMIs with eic-agent: Amazon Linux 2023 and Ubuntu 24.04 LTS, for x86_64 and arm64, from the newest image of each.
#
#   packer init packaging/ami
#   packer build -var packages=target/packages packaging/ami
#   packer build -var repository=https://packages.example.com -var fingerprint=FINGERPRINT \
#     -only 'eic-agent.amazon-ebs.ubuntu-arm64' packaging/ami
#
# Which plugin it takes is in plugins.pkr.hcl.

variable "region" {
  type        = string
  description = "Where the images are built, and where they stay."
  default     = "us-east-1"
}

variable "packages" {
  type        = string
  description = "A folder with the packages, as `make deb rpm` leaves them in target/packages; each image takes its own."
  default     = ""
}

variable "repository" {
  type        = string
  description = "Instead of it, the URL of a repository, as `make repo` makes it."
  default     = ""
}

variable "fingerprint" {
  type        = string
  description = "With a repository, the fingerprint of the key that signs it, as `make repo` prints it."
  default     = ""
}

variable "subnet" {
  type        = string
  description = "Where the instances run that the images are made of; the default subnet of the region without it."
  default     = ""
}

variable "prefix" {
  type        = string
  description = "How the images' names begin."
  default     = "eic-agent"
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "amazon-ebs" "base" {
  region                      = var.region
  subnet_id                   = var.subnet
  ssh_clear_authorized_keys   = true
  ssh_timeout                 = "10m"
  associate_public_ip_address = true

  # IMDSv2 alone, for the instance that is built on and, as an attribute of the image, for every instance of it.
  # (packaging/ami/check takes these six lines out for Packer 1.6, which does not know them.)
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0"

  run_tags = {
    Name = "packer: ${var.prefix}"
  }
  tags = {
    Name      = var.prefix
    BaseImage = "{{ .SourceAMI }} {{ .SourceAMIName }}"
  }
}

build {
  name = "eic-agent"

  source "amazon-ebs.base" {
    name          = "amazon-linux-2023-x86_64"
    ami_name      = "${var.prefix}-al2023-x86_64-${local.stamp}"
    instance_type = "t3.micro"
    ssh_username  = "ec2-user"
    source_ami_filter {
      # Amazon's own account. The minimal image is named otherwise.
      owners      = ["137112412989"]
      most_recent = true
      filters = {
        name                = "al2023-ami-2023.*-kernel-*-x86_64"
        architecture        = "x86_64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  source "amazon-ebs.base" {
    name          = "amazon-linux-2023-arm64"
    ami_name      = "${var.prefix}-al2023-arm64-${local.stamp}"
    instance_type = "t4g.micro"
    ssh_username  = "ec2-user"
    source_ami_filter {
      owners      = ["137112412989"]
      most_recent = true
      filters = {
        name                = "al2023-ami-2023.*-kernel-*-arm64"
        architecture        = "arm64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  source "amazon-ebs.base" {
    name          = "ubuntu-x86_64"
    ami_name      = "${var.prefix}-ubuntu-24.04-x86_64-${local.stamp}"
    instance_type = "t3.micro"
    ssh_username  = "ubuntu"
    source_ami_filter {
      # Canonical's account.
      owners      = ["099720109477"]
      most_recent = true
      filters = {
        name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
        architecture        = "x86_64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  source "amazon-ebs.base" {
    name          = "ubuntu-arm64"
    ami_name      = "${var.prefix}-ubuntu-24.04-arm64-${local.stamp}"
    instance_type = "t4g.micro"
    ssh_username  = "ubuntu"
    source_ami_filter {
      owners      = ["099720109477"]
      most_recent = true
      filters = {
        name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-*"
        architecture        = "arm64"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  # What a new instance does by itself is over first: it holds apt's lock, too.
  provisioner "shell" {
    inline = [
      "cloud-init status --wait >/dev/null || true",
      "mkdir eic-agent",
    ]
  }

  # One is uploaded in any case; with a repository, the script itself stands in for the packages.
  provisioner "file" {
    source      = var.repository == "" ? "${var.packages}/" : "${path.root}/provision"
    destination = "eic-agent/"
  }

  # Its last gate is `eic-agent status` and `doctor`: where one fails, the build does, and no image is registered.
  provisioner "shell" {
    script          = "${path.root}/provision"
    execute_command = "sudo sh '{{ .Path }}' ${var.repository == "" ? "eic-agent" : "'${var.repository}' '${var.fingerprint}'"}"
  }

  provisioner "shell" {
    inline = ["rm -rf eic-agent"]
  }
}
