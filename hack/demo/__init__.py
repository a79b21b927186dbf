"""The demo: a good model version rolled out and a bad one taken back, on a real cluster, with proofs at the end."""
