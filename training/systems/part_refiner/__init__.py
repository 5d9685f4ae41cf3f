"""The part refiner: a hand drawn again by reference, then the seam around it repainted (RealisHuman, 2409.03644)."""
