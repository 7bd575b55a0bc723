package s3

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is a CRC-32C as S3 writes it: big-endian, in base64.
func sum(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// composite is what S3 gives for an object of parts: the CRC-32C of their CRC-32Cs, and their number.
func composite(crcs []uint32) string {
	var all []byte
	for _, c := range crcs {
		all = binary.BigEndian.AppendUint32(all, c)
	}
	return fmt.Sprintf("%s-%d", sum(crc32.Checksum(all, castagnoli)), len(crcs))
}

// polynomial is Castagnoli's in the bit order of the CRC: the highest bit is x to the power of 0.
const polynomial = crc32.Castagnoli

// combine is the CRC-32C of a text of which the first part has the CRC a, and the rest, of that length, the CRC b. A CRC is a remainder modulo
// the polynomial: the first part's is multiplied by x for each bit that follows, and the rest's added.
func combine(a, b uint32, length int64) uint32 {
	return multiply(power(uint64(length)*8), a) ^ b
}

// multiply is the product of two polynomials modulo that of the CRC.
func multiply(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		// b times x: in this order of bits a shift to the right.
		if b&1 != 0 {
			b = b>>1 ^ polynomial
		} else {
			b >>= 1
		}
	}
	return product
}

// power is x to the power of n.
func power(n uint64) uint32 {
	const one, x = uint32(1) << 31, uint32(1) << 30
	result, square := one, x
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square)
		}
		square = multiply(square, square)
	}
	return result
}
