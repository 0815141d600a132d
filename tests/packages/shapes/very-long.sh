#!/bin/sh
# A very long file: 6,000 lines, and one line of 60,000 characters.
place=block
lay() {
    awk 'BEGIN {
        for (i = 1; i <= 6000; i++) print "# line " i " of a file that configuration management has grown over years"
        for (i = 1; i <= 6000; i++) long = long "0123456789"
        print "# " long
        print "UsePAM yes"
    }' >"$CONFIG"
}
