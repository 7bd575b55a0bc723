//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// recordSize is the size of every record in bytes: its number, noise that follows from the number, and a CRC-32C of both.
const recordSize = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// makeRecord returns record number n, the same one at every call.
func makeRecord(n uint64) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, recordSize), n)
	noise := rand.NewPCG(n, 1)
	for len(value) < recordSize-crc32.Size {
		value = binary.LittleEndian.AppendUint64(value, noise.Uint64())
	}
	value = value[:recordSize-crc32.Size]
	return binary.BigEndian.AppendUint32(value, crc32.Checksum(value, castagnoli))
}

// checkRecord looks at what a database can know of a record: that it is the one of this number and whole.
func checkRecord(n uint64, value []byte) error {
	if len(value) != recordSize {
		return fmt.Errorf("record %d has %d bytes, not %d", n, len(value), recordSize)
	}
	data, sum := value[:recordSize-crc32.Size], binary.BigEndian.Uint32(value[recordSize-crc32.Size:])
	if crc32.Checksum(data, castagnoli) != sum {
		return fmt.Errorf("record %d is corrupt: its checksum differs", n)
	}
	if stored := binary.BigEndian.Uint64(data); stored != n {
		return fmt.Errorf("record %d holds the data of record %d", n, stored)
	}
	return nil
}

// compareRecord looks at every byte.
func compareRecord(n uint64, value []byte) error {
	if err := checkRecord(n, value); err != nil {
		return err
	}
	if !bytes.Equal(value, makeRecord(n)) {
		return errors.New("record " + fmt.Sprint(n) + " is not what was written")
	}
	return nil
}
