//! From the bytes of a file to the pixels that the model was trained to see.
