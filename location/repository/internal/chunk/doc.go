// Package chunk cuts files into chunks where their content says so, so that what two versions of a file have in common becomes the same chunks, wherever it has moved to. It does no
// input or output.
//
// # Two ways
//
// A repository that restic has made is continued with restic's chunks: Rabin fingerprints of the repository's polynomial over 64 bytes, chunks of 512 KiB to 8 MiB, about 1.5 MiB on average. The same content gives the same chunks, so that the history deduplicates.
//
// A repository that Davit has made has smaller chunks, of which less is stored again when pages of a database change, and a faster fingerprint, the "gear" of FastCDC (Xia and
// others, USENIX ATC 2016): the fingerprint doubles for each byte, and a secret number that belongs to the byte is added, modulo 2^64. A chunk ends where the fingerprint is below a
// limit. The limit is low until 0.8 of the average and 64 times as high from there on, so that most chunks are close to the average; they have at least a quarter of it, but for
// the last one of a file, and at most four times as much. The numbers come from the repository's polynomial, which is secret: with other numbers, the lengths
// of chunks, which whoever sees the packs can guess, would betray known files.
//
// # How large
//
// The average, a power of two, is that of the repository for chunks that begin in the first 16 GiB of a file, twice as much until 64 GiB, four times as much until 256 GiB, eight
// times until 1 TiB and sixteen times from there on. So the index of a very large volume stays small: with 64 KiB, files of 1 TiB have 3 million chunks instead of 16 million. The
// rule sees the offset alone: a file that grows keeps the chunks it had.
//
// Nothing here may change, or new backups store everything again; the tests have examples that must stay.
package chunk
