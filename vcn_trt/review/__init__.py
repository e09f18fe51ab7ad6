"""`vcn review`: the report's pages made editable, in a browser on this machine."""
