# For `packer init`. This block has its own file because Packer 1.6 does not know it.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.6, < 2.0.0"
    }
  }
}
