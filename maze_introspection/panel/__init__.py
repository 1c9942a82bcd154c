"""The rqt panel without ROS: what it shows (`steps`, `model`, `view`) and how (`axes`, `plots`, `widget`)."""
