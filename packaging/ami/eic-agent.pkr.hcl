# Builds AMIs with eic-agent from the newest images of Amazon Linux 2023 and Ubuntu 24.04 LTS, for x86_64 and arm64.
#
#   packer init packaging/ami
#   packer build -var packages=target/packages packaging/ami
#   packer build -var repository=https://packages.example.com -var fingerprint=FINGERPRINT \
#     -only 'eic-agent.amazon-ebs.ubuntu-arm64' packaging/ami
#
# plugins.pkr.hcl names the required plugin.

variable "region" {
  type        = string
  description = "Region where Packer builds and registers the images."
  default     = "us-east-1"
}

variable "packages" {
  type        = string
  description = "Folder with packages made by `make deb rpm` (target/packages). Each image installs the matching package."
  default     = ""
}

variable "repository" {
  type        = string
  description = "URL of a repository made by `make repo`, instead of a folder of packages."
  default     = ""
}

variable "fingerprint" {
  type        = string
  description = "With a repository, the fingerprint of the key that signs it, printed by `make repo`."
  default     = ""
}

variable "subnet" {
  type        = string
  description = "Subnet of the build instances. Default: the default subnet of the region."
  default     = ""
}

variable "prefix" {
  type        = string
  description = "Prefix of the names of the images."
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

  # Only IMDSv2: for the build instance and, as an attribute of the image, for every instance of the image.
  # (packaging/ami/check removes these six lines for Packer 1.6, which does not know them.)
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
      # Amazon's own account. The filter does not match the minimal image, which has another name.
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

  # Wait for cloud-init of the new instance: it also holds apt's lock.
  provisioner "shell" {
    inline = [
      "cloud-init status --wait >/dev/null || true",
      "mkdir eic-agent",
    ]
  }

  # This provisioner must upload something. With a repository there are no packages, so it uploads the script.
  provisioner "file" {
    source      = var.repository == "" ? "${var.packages}/" : "${path.root}/provision"
    destination = "eic-agent/"
  }

  # The script ends with `eic-agent status` and `eic-agent doctor`. If one fails, Packer registers no image.
  provisioner "shell" {
    script          = "${path.root}/provision"
    execute_command = "sudo sh '{{ .Path }}' ${var.repository == "" ? "eic-agent" : "'${var.repository}' '${var.fingerprint}'"}"
  }

  provisioner "shell" {
    inline = ["rm -rf eic-agent"]
  }
}
