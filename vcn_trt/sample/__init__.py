"""A short film with cuts, made from real faces, and its labels: something to run on before there is a film at hand."""

from vcn_trt.sample.film import build

__all__ = ["build"]
