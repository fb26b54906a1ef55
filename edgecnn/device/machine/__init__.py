"""The machine under the loop: temperature, times, helper processes."""
