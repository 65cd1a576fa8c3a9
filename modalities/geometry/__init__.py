"""Boxes, masks, poses and the body's kinematics."""
