"""Writers and consumers run while the processes between them are killed, stopped and cut off at random."""
