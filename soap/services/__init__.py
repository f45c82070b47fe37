"""The operations of WS-DSP and WS-DSC, and their messages."""
