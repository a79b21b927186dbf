"""Proof on real pods: healthy candidates stay, faulty ones go, and how long that takes."""
