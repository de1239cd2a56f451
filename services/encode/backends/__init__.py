"""Engines that touch weights. ``registry`` names them all and imports none."""
