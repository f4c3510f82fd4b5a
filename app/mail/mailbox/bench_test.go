package mailbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// BenchmarkDeliver delivers messages of 4 KiB, each in a transaction of its own, as
// several senders do at once.
func BenchmarkDeliver(b *testing.B) {
	for _, senders := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			s, host := open(b, Limits{})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var n atomic.Int64
			b.SetParallelism(max(1, senders/2)) // of two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					blob, err := s.Write(ctx, strings.NewReader(text(fmt.Sprint(n.Add(1)), strings.Repeat("0123456789abcdef", 250))))
					if err != nil {
						b.Error(err)
						return
					}
					parsed, err := s.Parse(ctx, blob.ID)
					if err != nil {
						b.Error(err)
						return
					}
					err = host.Store().Update(ctx, func(tx *sql.Tx) error {
						_, err := s.Deliver(ctx, tx, ann, Inbox, Delivery{Blob: blob, Parsed: parsed})
						return err
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkFlags changes the flags of 1,000 messages.
func BenchmarkFlags(b *testing.B) {
	s, _ := open(b, Limits{})
	for n := range 1000 {
		add(b, s, Inbox, text(fmt.Sprint(n), "x"))
	}
	v := view(b, s, Inbox)
	for op := imap.StoreFlagsAdd; b.Loop(); op = imap.StoreFlagsAdd + imap.StoreFlagsDel - op {
		if _, err := s.SetFlags(b.Context(), v.Folder.ID, []Range{{1, 1000}}, op, []imap.Flag{imap.FlagFlagged}); err != nil {
			b.Fatal(err)
		}
	}
}
