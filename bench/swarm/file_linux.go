package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
)

// makeFile writes size bytes that no file system can shorten, the same each time for
// the same seed. They are in memory afterwards, and on the disk.
func makeFile(path string, size int64, seed ...byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var key [32]byte
	copy(key[:], seed)
	random := rand.NewChaCha8(key)
	if _, err := io.CopyN(file, random, size); err != nil {
		return err
	}
	return file.Sync()
}

// needRoom fails unless there is room for so many bytes below dir, and some to spare.
func needRoom(dir string, size int64) error {
	var at syscall.Statfs_t
	if err := syscall.Statfs(dir, &at); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free := int64(at.Bavail) * at.Bsize; free < size+size/8 {
		return fmt.Errorf("%s has %d MiB of free disk, and %d are needed; TMPDIR names another place", dir, free>>20, (size+size/8)>>20)
	}
	return nil
}

func sumOf(path string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	file, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

// syncFile waits until a file is on the disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// touch has the system give this process so much memory, as far as it has it, and
// takes it back. Virtual machines may have handed to their host what has been free for a few
// seconds, and to get it back costs more than to fill it.
func touch(size int64) error {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return err
	}
	size = min(size, int64(info.Freeram)*int64(info.Unit)/2)
	memory, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS|syscall.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("touch %d bytes: %w", size, err)
	}
	return syscall.Munmap(memory)
}
