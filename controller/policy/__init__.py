"""What to do about what is seen: pure functions from the fabric, the elephants and the time to decisions."""
