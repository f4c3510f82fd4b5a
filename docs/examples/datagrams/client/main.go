// Command client sends a line to an upper-casing server in a datagram and
// prints the answer: client HOST:PORT.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"kith.alt/kith/client"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: client HOST:PORT")
	}
	conn, err := client.DialPacket(context.Background(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	fmt.Print("Input lowercase sentence: ")
	sentence, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, 8192)
	for range 10 {
		if _, err := conn.Write([]byte(strings.TrimSpace(sentence))); err != nil {
			log.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(answer)
		if err == nil {
			fmt.Printf("From Server: %s\n", answer[:n])
			return
		}
		log.Print(err) // lost on the way there or back: once more
	}
	log.Fatal("no answer")
}
