"""Small made-up trees in the official layouts of corpora: noises under the owners' file names, with made-up labels."""
