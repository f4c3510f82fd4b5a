package post

import (
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// keeps has a member that speaks by hand take the letter that is offered.
func (a *attacker) keeps(t testing.TB) *header {
	t.Helper()
	h := a.offered(t)
	a.say(t, answerFrame(h.key(), verdictWant, ""))
	for size := int64(0); size < h.Size; {
		part, ok := a.hear(frameBody)
		if !ok {
			t.Fatal("it does not come")
		}
		size += int64(len(part))
	}
	a.say(t, keptFrame(h.key(), prove(a.key, h)))
	return h
}

// TestHearsay has a custodian lie of who else has a letter: those who are awake get it all the same.
func TestHearsay(t *testing.T) {
	for _, test := range []struct {
		name string
		lie  func(a *attacker, others []*villager, h *header) []holder
	}{
		{"nothing", func(*attacker, []*villager, *header) []holder { return nil }},
		{"members", func(a *attacker, others []*villager, h *header) (list []holder) {
			for _, o := range others {
				list = append(list, holder{o.id, prove(a.key, h)})
			}
			return list
		}},
		{"another sealing", func(a *attacker, others []*villager, h *header) (list []holder) {
			for _, o := range others {
				old := *h
				old.Seal = 0
				list = append(list, holder{o.id, prove(o.key, &old)})
			}
			return list
		}},
		{"another letter", func(a *attacker, others []*villager, h *header) (list []holder) {
			for _, o := range others {
				other := *h
				other.Letter[0]++
				list = append(list, holder{o.id, prove(o.key, &other)})
			}
			return list
		}},
		{"hosts that nobody knows", func(a *attacker, others []*villager, h *header) (list []holder) {
			for n := range maxHolders {
				id := kith.ID{1}
				binary.BigEndian.PutUint16(id[1:], uint16(n))
				list = append(list, holder{id, prove(a.key, h)})
			}
			return list
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVillage(t, "maple", "oak", "mallory", "elm", "fir")
				v.acquaint(t)
				defer v.sleepAll()
				maple, oak, mallory, others := v.hosts[0], v.hosts[1], v.hosts[2], v.hosts[3:]
				v.sleepAll()
				maple.wake(t)
				synctest.Wait()
				id := maple.post(t, oak, []byte("text"), nil)
				a := mallory.act(t, maple)
				h := a.keeps(t)
				v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
				a.say(t, appendHolders(keyFrame(frameHolders, h.key()), test.lie(a, others, h)))
				go io.Copy(io.Discard, a.conn)
				time.Sleep(time.Minute)
				for _, o := range others {
					o.wake(t)
				}
				v.until(t, "copies at the others", func() bool { return len(maple.state(t, id).Held) == 3 })
				maple.sleep()
				oak.wake(t)
				v.until(t, "delivery", func() bool { return oak.received() == 1 })
			})
		})
	}
}
