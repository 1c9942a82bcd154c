"""The rqt panel without ROS: what it shows (`steps`, `model`) and how (`plots`, `widget`); `rqt_panel` feeds it."""
