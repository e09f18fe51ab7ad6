"""TensorRT engines: what each is built like, how it is built, kept, checked against the network it was made of, and
given other weights. `backends.cuda.network` runs them."""
