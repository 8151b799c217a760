"""What is done to images between the data set and the network."""
