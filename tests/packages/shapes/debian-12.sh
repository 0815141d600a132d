#!/bin/sh
# The default of Debian 12: an Include at the top, an empty drop-in folder, everything else commented out.
place=drop-in
lay() { :; }
