"""The maze, its simulator, the overhead image, the CNN-LSTM policy, and the nodes that play."""
