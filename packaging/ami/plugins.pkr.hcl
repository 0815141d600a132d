# For `packer init`. In a file of its own, since Packer 1.6 does not know this block.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.6, < 2.0.0"
    }
  }
}
