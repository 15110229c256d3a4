"""DenseWarper ROS, the part without ROS: geometry, fusion, tracking, models, evaluation."""
