"""What a call is: arrays at the door of any library, the options as one frozen object, the canonical form."""
