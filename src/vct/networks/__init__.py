"""Networks F(x, c_noise, labels); noise scaling is not their business."""
