// What goroutines and channels cost on one processor, for the native benchmark. It reads lines "question count" and answers
// each with the nanoseconds that one operation took, until its input ends.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	runtime.GOMAXPROCS(1)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var question string
		var count int
		if _, err := fmt.Sscan(lines.Text(), &question, &count); err != nil {
			panic(err)
		}
		start := time.Now()
		operations := work(question, count)
		fmt.Println(float64(time.Since(start).Nanoseconds()) / float64(operations))
	}
}

// Does what the question asks for and gives the number of operations that it took.
func work(question string, count int) int {
	switch {
	case question == "gosched":
		return gosched(count)
	case question == "pingpong":
		return pingPong(count)
	case question == "spawn":
		return spawn(count)
	case strings.HasPrefix(question, "channel-"):
		var capacity int
		if _, err := fmt.Sscanf(question, "channel-%d", &capacity); err != nil {
			panic(err)
		}
		return channel(capacity, count)
	}
	panic("no such question: " + question)
}

// Two goroutines that yield to each other: a switch each time.
func gosched(pairs int) int {
	done := make(chan bool)
	go func() {
		for i := 0; i < pairs; i++ {
			runtime.Gosched()
		}
		done <- true
	}()
	for i := 0; i < pairs; i++ {
		runtime.Gosched()
	}
	<-done
	return 2 * pairs
}

// There and back over unbuffered channels: two switches a round.
func pingPong(rounds int) int {
	there, back := make(chan int), make(chan int)
	go func() {
		for i := range there {
			back <- i
		}
	}()
	for i := 0; i < rounds; i++ {
		there <- i
		<-back
	}
	close(there)
	return 2 * rounds
}

func spawn(count int) int {
	finished := 0
	for i := 0; i < count; i++ {
		go func() { finished++ }()
		runtime.Gosched()
	}
	if finished != count {
		panic("a goroutine has not run")
	}
	return count
}

func channel(capacity, messages int) int {
	ch := make(chan uint64, capacity)
	go func() {
		for i := 0; i < messages; i++ {
			ch <- uint64(i)
		}
		close(ch)
	}()
	var sum uint64
	for value := range ch {
		sum += value
	}
	if sum != uint64(messages)*uint64(messages-1)/2 {
		panic("a message was lost")
	}
	return messages
}
