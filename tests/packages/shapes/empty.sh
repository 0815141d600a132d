#!/bin/sh
# An empty file.
place=block
lay() { : >"$CONFIG"; }
