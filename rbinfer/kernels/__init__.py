"""All compiled code and how it comes to be there: arrays in, arrays out."""
