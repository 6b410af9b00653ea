"""The standing benchmark: DeepSTD beside other codecs at equal bytes."""
