"""The data sets: got, verified, decoded; arrays out, no tensors."""
