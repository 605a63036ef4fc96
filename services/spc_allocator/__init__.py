"""spc-allocator: who charges, and with how much (SPC-1 to SPC-5, SPC-17, SPC-18). Rules: README.md beside this file."""
