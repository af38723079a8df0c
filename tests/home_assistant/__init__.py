"""Tests of the devices in Home Assistant."""
