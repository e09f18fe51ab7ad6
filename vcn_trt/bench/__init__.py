"""`vcn bench`: how fast each part is on this device, beside its peers and beside what the device could do at most."""
