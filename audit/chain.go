package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
	"strconv"
)

// domain keeps the hashes of the chain apart from every other SHA-256 of kmsd.
const domain = "kmsd-audit-v1"

// hashMember is the length of a record's member hash, with its comma.
const hashMember = len(`"hash":"`) + 44 + len(`",`)

// Head names a record of a log, and by its hash all records before it.
type Head struct {
	Seq  uint64 // of the first record: 1
	Hash [sha256.Size]byte
}

// genesis is what stands in for the record before the first one: the hash of the log's id, as text.
func genesis(logID ID) Head {
	c := newChain(Head{}, 0)
	id := []byte(logID.String())
	return Head{Hash: c.sum(id, nil)}
}

// chain is the running end of a log: the last record, and what the next one needs. Not safe for concurrent use.
type chain struct {
	head       Head
	generation uint64 // the highest stateGeneration.after so far
	digest     hash.Hash
	prefix     [len(domain) + 8]byte
	out        [sha256.Size]byte
}

func newChain(h Head, generation uint64) *chain {
	c := &chain{head: h, generation: generation, digest: sha256.New()}
	copy(c.prefix[:], domain)
	return c
}

// reset takes the chain back to h.
func (c *chain) reset(h Head, generation uint64) { c.head, c.generation = h, generation }

// sum gives SHA-256(domain ‖ length of ab, 8 bytes, big-endian ‖ ab), where ab is a and b in a row.
func (c *chain) sum(a, b []byte) [sha256.Size]byte {
	binary.BigEndian.PutUint64(c.prefix[len(domain):], uint64(len(a)+len(b)))
	c.digest.Reset()
	c.digest.Write(c.prefix[:])
	c.digest.Write(a)
	c.digest.Write(b)
	c.digest.Sum(c.out[:0])
	return c.out
}

// append appends the next record, made of what n encoded, with its line feed, and moves the head.
func (c *chain) append(b []byte, n *encoder, generation uint64) []byte {
	b = slices.Grow(b, len(n.buf)+chainBytes)
	start := len(b)
	b = append(b, n.buf[:n.hashAt]...)
	hashAt := len(b)
	b = append(b, `"hash":"............................................",`...)
	b = append(b, n.buf[n.hashAt:n.prevAt]...)
	b = append(b, `"prevHash":"`...)
	b = base64.StdEncoding.AppendEncode(b, c.head.Hash[:])
	b = append(b, `",`...)
	b = append(b, n.buf[n.prevAt:n.seqAt]...)
	b = append(b, `"seq":`...)
	b = strconv.AppendUint(b, c.head.Seq+1, 10)
	b = append(b, n.buf[n.seqAt:]...)

	c.head.Hash = c.sum(b[start:hashAt], b[hashAt+hashMember:])
	c.head.Seq++
	c.generation = max(c.generation, generation)
	base64.StdEncoding.Encode(b[hashAt+len(`"hash":"`):], c.head.Hash[:])
	return append(b, '\n')
}

// next checks that the record l, parsed from line, follows the chain's head, and moves the head to it. The reason is "" if so.
func (c *chain) next(line []byte, l *links) (reason string) {
	switch {
	case l.seq != c.head.Seq+1:
		return "seq does not follow"
	case l.prevHash != c.head.Hash:
		return "prevHash is not the hash of the record before"
	case c.sum(line[:l.hashAt], line[l.hashAt+hashMember:]) != l.hash:
		return "hash does not fit the record"
	}
	c.head = Head{l.seq, l.hash}
	c.generation = max(c.generation, l.generation)
	return ""
}
