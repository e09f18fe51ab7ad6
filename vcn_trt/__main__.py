"""`python -m vcn_trt` is `vcn`."""

from vcn_trt.cli import main

main()
