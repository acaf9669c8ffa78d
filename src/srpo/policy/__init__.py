"""The vision-language model as we need it: load, encode, score with a shared prefix, decode."""
