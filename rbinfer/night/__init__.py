"""What many scored images of a night say together: aligned, merged, repeats weighed, movers linked."""
