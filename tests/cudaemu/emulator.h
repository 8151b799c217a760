// Runs CUDA C++ kernels on the CPU, so that the same source can be tested where there is no GPU.
//
// emulator.py compiles a file that includes this header, then the kernels, then one exported launcher for each kernel:
// after the definitions below, `__global__ void f(float* y) { y[threadIdx.x] = 1; }` is an ordinary C++ function.
//
// Each CUDA thread is a fiber: a stack of its own, on which the kernel runs until it has to wait for other threads, at
// __syncthreads or in a warp operation, or returns. One block runs at a time, all of it on one thread of the operating
// system. The scheduler runs one warp as far as it can before it turns to the next, so that a missing barrier lets a
// warp run far ahead of the others, and it takes warps, lanes and blocks forward, in reverse or shuffled.
//
// What a GPU leaves undefined is made harmful here: shared memory holds NaN before each block, a shuffle from a lane
// that takes no part gives NaN, a barrier that not all threads reach is an error with its line. The sanitizers of g++
// are told of every switch between fibers, and ThreadSanitizer of what barriers and warp operations order.
//
// The sections: keywords, types, context switch, sanitizers, threads, scheduler, barriers and warp operations, memory,
// arithmetic, launch.
#pragma once

#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// ---- keywords -------------------------------------------------------------------------------------------------------

#define CUDAEMU 1
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))

// One block runs at a time, so a variable that its threads share is a static one. emulator.py finds these variables in
// the symbol table to fill them with NaN, and rewrites `extern __shared__ T name[];`, which cannot be static.
#define __shared__ static

// <cmath> defines these and NVRTC does not: a kernel that uses them must not pass here either.
#undef INFINITY
#undef NAN
#undef HUGE_VAL

// ---- types ----------------------------------------------------------------------------------------------------------

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define CUDAEMU_VECTOR_TYPES(T, name)                                                \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                 \
  struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                         \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDAEMU_VECTOR_TYPES(float, float)
CUDAEMU_VECTOR_TYPES(double, double)
CUDAEMU_VECTOR_TYPES(int, int)
CUDAEMU_VECTOR_TYPES(unsigned, uint)
#undef CUDAEMU_VECTOR_TYPES

// The built-in variables. The scheduler sets threadIdx whenever it lets a thread go on.
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cudaemu {

// Code of the emulator itself, which the sanitizers must not take for the kernel's.
#define CUDAEMU_UNSEEN __attribute__((no_sanitize("address", "thread", "undefined")))

// ---- context switch -------------------------------------------------------------------------------------------------
//
// swap_context(from, to) stores where the caller is in `from` and goes on where `to` was stored. By hand it costs a
// dozen instructions; ucontext, for other processors, also saves the signal mask, which takes two system calls.

#if defined(__x86_64__) && !defined(CUDAEMU_UCONTEXT)

using Context = void*;  // the stack pointer; the registers that a function must preserve lie on the stack

extern "C" void cudaemu_swap_context(Context* from, Context to);
asm(R"(
.text
.p2align 4
.hidden cudaemu_swap_context
.globl cudaemu_swap_context
.type cudaemu_swap_context, @function
cudaemu_swap_context:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cudaemu_swap_context, . - cudaemu_swap_context
)");

CUDAEMU_UNSEEN inline void swap_context(Context& from, Context& to) { cudaemu_swap_context(&from, to); }

// A context that begins with a call of `entry` on this stack.
CUDAEMU_UNSEEN inline void make_context(Context& context, char* stack, size_t size, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + size);
  *--top = nullptr;  // where `entry` would return to; it also aligns the stack as a call does
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; ++saved) {
    *--top = nullptr;
  }
  context = top;
}

#elif defined(__aarch64__) && !defined(CUDAEMU_UCONTEXT)

using Context = void*;  // the stack pointer; the registers that a function must preserve lie on the stack

extern "C" void cudaemu_swap_context(Context* from, Context to);
asm(R"(
.text
.p2align 4
.hidden cudaemu_swap_context
.globl cudaemu_swap_context
.type cudaemu_swap_context, %function
cudaemu_swap_context:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size cudaemu_swap_context, . - cudaemu_swap_context
)");

CUDAEMU_UNSEEN inline void swap_context(Context& from, Context& to) { cudaemu_swap_context(&from, to); }

// A context that begins with a call of `entry` on this stack.
CUDAEMU_UNSEEN inline void make_context(Context& context, char* stack, size_t size, void (*entry)()) {
  constexpr int saved = 20;
  constexpr int x30 = 11;
  void** top = reinterpret_cast<void**>(stack + size) - saved;
  for (int i = 0; i < saved; ++i) {
    top[i] = nullptr;
  }
  top[x30] = reinterpret_cast<void*>(entry);
  context = top;
}

#else

}  // namespace cudaemu
#include <ucontext.h>
namespace cudaemu {

using Context = ucontext_t;

CUDAEMU_UNSEEN inline void swap_context(Context& from, Context& to) { swapcontext(&from, &to); }

// A context that begins with a call of `entry` on this stack.
CUDAEMU_UNSEEN inline void make_context(Context& context, char* stack, size_t size, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

#endif

// ---- sanitizers -----------------------------------------------------------------------------------------------------
//
// A Fiber is a context with what the sanitizers need to follow it. AddressSanitizer must know which stack is in use.
// ThreadSanitizer takes each fiber for a thread, and orders nothing by the switches themselves; happens_before(token)
// in one fiber and happens_after(token) in another tell it what the program orders.

struct Fiber {
  Context context{};
  const void* stack = nullptr;  // its lowest address
  size_t stack_size = 0;
  void* asan_frames = nullptr;
  void* tsan_fiber = nullptr;
};

CUDAEMU_UNSEEN inline void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool from_ends = false) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.asan_frames, to.stack, to.stack_size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
  swap_context(from.context, to.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.asan_frames, nullptr, nullptr);
#endif
}

// The first thing that a new fiber does: it ends the switch to it, and learns on which stack the other one runs.
CUDAEMU_UNSEEN inline void arrive_in_new_fiber([[maybe_unused]] Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &from.stack, &from.stack_size);
#endif
}

CUDAEMU_UNSEEN inline void happens_before([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(token);
#endif
}

CUDAEMU_UNSEEN inline void happens_after([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(token);
#endif
}

// Makes every access to a piece of memory an error (or a good one again), where AddressSanitizer runs.
CUDAEMU_UNSEEN inline void set_forbidden([[maybe_unused]] void* begin, [[maybe_unused]] size_t size,
                                         [[maybe_unused]] bool forbidden) {
#if defined(__SANITIZE_ADDRESS__)
  if (forbidden) {
    __asan_poison_memory_region(begin, size);
  } else {
    __asan_unpoison_memory_region(begin, size);
  }
#endif
}

#if defined(__SANITIZE_THREAD__)
constexpr bool races_are_watched = true;
#else
constexpr bool races_are_watched = false;
#endif

// ---- threads --------------------------------------------------------------------------------------------------------

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t stack_size = 512 * 1024;  // the sanitizers' own functions run on it
#else
constexpr size_t stack_size = 64 * 1024;
#endif
constexpr uint64_t stack_mark = 0x5afe57ac5afe57ac;  // at a stack's end; not there any more, it was too small

constexpr int max_threads = 1024;
constexpr int max_warps = max_threads / warpSize;
constexpr size_t max_shared_bytes = 227 * 1024;

enum class State { ready, at_barrier, in_warp_operation, exited };

// A place in the kernels' source.
struct Site {
  const char* file;
  int line;
  bool operator==(const Site& other) const {
    return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
  }
};

// What a warp does in common: it gets the arguments of the 32 lanes, nullptr for lanes that take no part.
using WarpOperation = void (*)(void* const* lanes);

struct Thread {
  Fiber fiber;
  char* stack = nullptr;
  uint3 index{};
  int number = 0;  // counted through the block
  State state = State::exited;
  Site site{};        // where it waits
  unsigned mask = 0;  // the lanes it waits for in a warp operation
  WarpOperation operation = nullptr;
  void* arguments = nullptr;

  // What orders a warp operation for ThreadSanitizer: each lane releases a token of its own when it arrives, and
  // acquires those of its partners when it leaves. Two tokens take turns: by then a partner may already have come to
  // the next operation, and what it did in between is not ordered.
  char tokens[2] = {};
  int turn = 0;
  unsigned partners = 0;       // the lanes that were there
  unsigned partner_turns = 0;  // the turn of each

  int lane() const { return number % warpSize; }
  int warp() const { return number / warpSize; }
};

// The block that runs, and all there is besides. Members and not variables in functions, because the latter are what
// emulator.py takes for shared memory.
struct Machine {
  Fiber scheduler;
  std::vector<Thread> threads;  // as many as the largest block so far
  int thread_count = 0;
  Thread* current = nullptr;
  void (*kernel)(void* call) = nullptr;
  void* call = nullptr;

  char* message = nullptr;  // what went wrong goes here
  size_t message_size = 0;
  bool failed = false;

  int order = 0;
  uint64_t random = 0;

  // What orders the threads for ThreadSanitizer. Of the barrier's tokens, as of the lanes', two take turns.
  char start_token = 0;
  char end_token = 0;
  char barrier_tokens[2] = {};
  int barrier_turn = 0;
};

static Machine machine;
alignas(128) static unsigned char dynamic_shared_memory[max_shared_bytes];

// What emulator.py makes of `extern __shared__ T name[];`: `T* name = cudaemu::dynamic_shared<T>();`
template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

// Reports an error of the kernel; the first one counts.
template <class... Values>
CUDAEMU_UNSEEN void fail(const char* format, Values... values) {
  if (!machine.failed) {
    std::snprintf(machine.message, machine.message_size, format, values...);
    machine.failed = true;
  }
}

// Lets the scheduler go on; returns when it is this thread's turn again.
CUDAEMU_UNSEEN inline void yield() { switch_fiber(machine.current->fiber, machine.scheduler); }

// Reports an error from inside the kernel, which does not go on.
template <class... Values>
[[noreturn]] CUDAEMU_UNSEEN void abandon(const char* format, Values... values) {
  fail(format, values...);
  for (;;) {
    yield();
  }
}

// The first function on each thread's stack.
CUDAEMU_UNSEEN inline void thread_main() {
  arrive_in_new_fiber(machine.scheduler);
  happens_after(&machine.start_token);
  machine.kernel(machine.call);
  happens_before(&machine.end_token);
  machine.current->state = State::exited;
  switch_fiber(machine.current->fiber, machine.scheduler, true);
}

// ---- scheduler ------------------------------------------------------------------------------------------------------

enum Order { forward, reverse, shuffled };

CUDAEMU_UNSEEN inline uint64_t random_bits() {  // splitmix64
  uint64_t bits = machine.random += 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  return bits ^ (bits >> 31);
}

// The numbers below `count` in the order that was asked for.
template <class Int>
CUDAEMU_UNSEEN void arrange(Int* numbers, Int count) {
  for (Int i = 0; i < count; ++i) {
    numbers[i] = machine.order == reverse ? count - 1 - i : i;
  }
  if (machine.order != shuffled) {
    return;
  }
  for (Int left = count; left > 1; --left) {
    std::swap(numbers[left - 1], numbers[random_bits() % left]);
  }
}

CUDAEMU_UNSEEN inline void start_threads() {
  for (int i = 0; i < machine.thread_count; ++i) {
    Thread& thread = machine.threads[i];
    set_forbidden(thread.stack, stack_size, false);  // a thread that was abandoned has left marks of its frames
    std::memcpy(thread.stack, &stack_mark, sizeof stack_mark);
    thread.fiber.asan_frames = nullptr;
    make_context(thread.fiber.context, thread.stack, stack_size, thread_main);
    thread.state = State::ready;
  }
}

CUDAEMU_UNSEEN inline void resume(Thread& thread) {
  machine.current = &thread;
  threadIdx = thread.index;
  switch_fiber(machine.scheduler, thread.fiber);
  if (std::memcmp(thread.stack, &stack_mark, sizeof stack_mark) != 0) {
    fail("the local variables of thread (%u, %u, %u) do not fit the %zu bytes of its stack", thread.index.x,
         thread.index.y, thread.index.z, stack_size);
  }
}

// The thread of a lane, or nullptr if the block is too small to have it.
CUDAEMU_UNSEEN inline Thread* thread_at(int warp, int lane) {
  const int number = warp * warpSize + lane;
  return number < machine.thread_count ? &machine.threads[number] : nullptr;
}

// Whether a thread waits in the same warp operation as another.
CUDAEMU_UNSEEN inline bool is_with(const Thread& thread, const Thread& other) {
  return other.state == State::in_warp_operation && other.mask == thread.mask && other.site == thread.site;
}

// A thread that keeps this one waiting in its warp operation, or nullptr. Lanes that have exited are not waited for.
CUDAEMU_UNSEEN inline const Thread* missing_lane(const Thread& thread) {
  for (int lane = 0; lane < warpSize; ++lane) {
    const Thread* other = thread_at(thread.warp(), lane);
    const bool named = thread.mask >> lane & 1;
    if (named && other && other->state != State::exited && !is_with(thread, *other)) {
      return other;
    }
  }
  return nullptr;
}

// Carries out the warp operation in which this thread and others wait, and lets them go on.
CUDAEMU_UNSEEN inline void complete_warp_operation(const Thread& first) {
  void* lanes[warpSize] = {};
  unsigned partners = 0;
  unsigned turns = 0;
  for (int lane = 0; lane < warpSize; ++lane) {
    const Thread* thread = thread_at(first.warp(), lane);
    if ((first.mask >> lane & 1) && thread && thread->state != State::exited) {
      lanes[lane] = thread->arguments;
      partners |= 1u << lane;
      turns |= static_cast<unsigned>(thread->turn) << lane;
    }
  }
  if (first.operation) {
    first.operation(lanes);
  }
  for (int lane = 0; lane < warpSize; ++lane) {
    if (partners >> lane & 1) {
      Thread& thread = *thread_at(first.warp(), lane);
      thread.partners = partners;
      thread.partner_turns = turns;
      thread.state = State::ready;
    }
  }
}

// Carries out the warp operations for which all lanes are there; whether there were any.
CUDAEMU_UNSEEN inline bool complete_warp_operations(int warp) {
  bool any = false;
  for (int lane = 0; lane < warpSize; ++lane) {
    const Thread* thread = thread_at(warp, lane);
    if (thread && thread->state == State::in_warp_operation && !missing_lane(*thread)) {
      complete_warp_operation(*thread);
      any = true;
    }
  }
  return any;
}

// Runs the threads of a warp until each has exited or waits for another warp (or for what will never come).
CUDAEMU_UNSEEN inline void run_warp(int warp) {
  int lanes[warpSize];
  do {
    arrange(lanes, warpSize);
    for (int lane : lanes) {
      Thread* thread = thread_at(warp, lane);
      if (thread && thread->state == State::ready) {
        resume(*thread);
      }
      if (machine.failed) {
        return;
      }
    }
  } while (complete_warp_operations(warp));
}

CUDAEMU_UNSEEN inline Thread* first_in(State state) {
  for (int i = 0; i < machine.thread_count; ++i) {
    if (machine.threads[i].state == state) {
      return &machine.threads[i];
    }
  }
  return nullptr;
}

CUDAEMU_UNSEEN inline int count_in(State state) {
  int count = 0;
  for (int i = 0; i < machine.thread_count; ++i) {
    count += machine.threads[i].state == state;
  }
  return count;
}

#define CUDAEMU_INDEX(i) (i).x, (i).y, (i).z

// A warp operation whose lanes never all come.
CUDAEMU_UNSEEN inline void report_deadlock(const Thread& waiting) {
  const Thread& other = *missing_lane(waiting);
  const char* where = other.state == State::at_barrier ? "__syncthreads" : "another warp operation";
  fail(
      "deadlock in block (%u, %u, %u): thread (%u, %u, %u) waits at %s:%d in a warp operation with mask 0x%x for "
      "thread (%u, %u, %u), which waits at %s:%d in %s",
      CUDAEMU_INDEX(blockIdx), CUDAEMU_INDEX(waiting.index), waiting.site.file, waiting.site.line, waiting.mask,
      CUDAEMU_INDEX(other.index), other.site.file, other.site.line, where);
}

CUDAEMU_UNSEEN inline void report_early_exit(const Thread& waiting, const Thread& exited) {
  fail(
      "__syncthreads at %s:%d in block (%u, %u, %u): %d of %d threads have exited and never come, the first is "
      "(%u, %u, %u)",
      waiting.site.file, waiting.site.line, CUDAEMU_INDEX(blockIdx), count_in(State::exited), machine.thread_count,
      CUDAEMU_INDEX(exited.index));
}

CUDAEMU_UNSEEN inline void report_divergence(const Thread& one, const Thread& other) {
  fail(
      "divergent __syncthreads in block (%u, %u, %u): thread (%u, %u, %u) waits at %s:%d, thread (%u, %u, %u) at "
      "%s:%d",
      CUDAEMU_INDEX(blockIdx), CUDAEMU_INDEX(one.index), one.site.file, one.site.line, CUDAEMU_INDEX(other.index),
      other.site.file, other.site.line);
}

// Lets the block go on from its barrier, once no thread can go on by itself; false if it has ended or cannot.
CUDAEMU_UNSEEN inline bool pass_barrier() {
  if (const Thread* waiting = first_in(State::in_warp_operation)) {
    report_deadlock(*waiting);
    return false;
  }
  const Thread* first = first_in(State::at_barrier);
  if (!first) {
    return false;
  }
  if (const Thread* exited = first_in(State::exited)) {
    report_early_exit(*first, *exited);
    return false;
  }
  for (int i = 0; i < machine.thread_count; ++i) {
    if (!(machine.threads[i].site == first->site)) {
      report_divergence(*first, machine.threads[i]);
      return false;
    }
  }
  machine.barrier_turn ^= 1;
  for (int i = 0; i < machine.thread_count; ++i) {
    machine.threads[i].state = State::ready;
  }
  return true;
}

CUDAEMU_UNSEEN inline void run_block() {
  const int warp_count = (machine.thread_count + warpSize - 1) / warpSize;
  int warps[max_warps];
  start_threads();
  do {
    arrange(warps, warp_count);
    for (int i = 0; i < warp_count && !machine.failed; ++i) {
      run_warp(warps[i]);
    }
  } while (!machine.failed && pass_barrier());
}

// ---- barriers and warp operations -----------------------------------------------------------------------------------

CUDAEMU_UNSEEN inline void wait_at_barrier(Site site) {
  Thread& thread = *machine.current;
  thread.state = State::at_barrier;
  thread.site = site;
  void* token = &machine.barrier_tokens[machine.barrier_turn];
  happens_before(token);
  yield();
  happens_after(token);
}

CUDAEMU_UNSEEN inline void happens_after_partners(const Thread& thread) {
  if (!races_are_watched) {
    return;
  }
  for (int lane = 0; lane < warpSize; ++lane) {
    if (thread.partners >> lane & 1) {
      Thread& partner = *thread_at(thread.warp(), lane);
      happens_after(&partner.tokens[thread.partner_turns >> lane & 1]);
    }
  }
}

// Waits for the lanes of the mask, lets the operation be carried out once for all of them, and goes on.
//
// Tensor cores and ldmatrix belong here: an operation that computes on the arguments of all 32 lanes. An asynchronous
// copy (cp.async) belongs into Thread, as a queue of copies: carried out as late as the wait for it allows, which shows
// a wait that is missing, or at once, which shows that the memory is still in use; tests need both.
CUDAEMU_UNSEEN inline void wait_in_warp(unsigned mask, Site site, WarpOperation operation, void* arguments) {
  Thread& thread = *machine.current;
  if (!(mask >> thread.lane() & 1)) {
    abandon(
        "warp operation at %s:%d in block (%u, %u, %u): thread (%u, %u, %u) is lane %d, which its mask 0x%x leaves "
        "out",
        site.file, site.line, CUDAEMU_INDEX(blockIdx), CUDAEMU_INDEX(thread.index), thread.lane(), mask);
  }
  thread.state = State::in_warp_operation;
  thread.site = site;
  thread.mask = mask;
  thread.operation = operation;
  thread.arguments = arguments;
  thread.turn ^= 1;
  happens_before(&thread.tokens[thread.turn]);
  yield();
  happens_after_partners(thread);
}

inline int lane() { return machine.current->lane(); }

template <class T>
struct Shuffle {
  T given;
  T received;
  int source;

  CUDAEMU_UNSEEN static void carry_out(void* const* lanes) {
    for (int lane = 0; lane < warpSize; ++lane) {
      Shuffle* to = static_cast<Shuffle*>(lanes[lane]);
      const Shuffle* from = to ? static_cast<Shuffle*>(lanes[to->source]) : nullptr;
      if (from) {
        to->received = from->given;
      }
    }
  }
};

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  Shuffle<T> arguments{value, value, source};
  std::memset(&arguments.received, 0xff, sizeof(T));  // what comes from a lane that takes no part is undefined
  wait_in_warp(mask, site, Shuffle<T>::carry_out, &arguments);
  return arguments.received;
}

// The lanes that __shfl_*_sync read from, where a warp falls into segments of `width` lanes: a lane beyond the end of
// its segment reads itself.
inline int shuffle_source(int index, int width) { return lane() / width * width + (index & (width - 1)); }

inline int shuffle_source_up(unsigned delta, int width) {
  const int source = lane() - static_cast<int>(delta);
  return source < lane() / width * width ? lane() : source;
}

inline int shuffle_source_down(unsigned delta, int width) {
  const int source = lane() + static_cast<int>(delta);
  return source >= (lane() / width + 1) * width ? lane() : source;
}

inline int shuffle_source_xor(int bits, int width) {
  const int source = lane() ^ bits;
  return source >= (lane() / width + 1) * width ? lane() : source;
}

struct Ballot {
  bool vote;
  unsigned result;

  CUDAEMU_UNSEEN static void carry_out(void* const* lanes) {
    unsigned result = 0;
    for (int lane = 0; lane < warpSize; ++lane) {
      const Ballot* ballot = static_cast<Ballot*>(lanes[lane]);
      result |= static_cast<unsigned>(ballot && ballot->vote) << lane;
    }
    for (int lane = 0; lane < warpSize; ++lane) {
      if (lanes[lane]) {
        static_cast<Ballot*>(lanes[lane])->result = result;
      }
    }
  }
};

inline unsigned ballot(unsigned mask, bool vote, Site site) {
  Ballot arguments{vote, 0};
  wait_in_warp(mask, site, Ballot::carry_out, &arguments);
  return arguments.result;
}

// With and without the last argument, which has a default in CUDA.
inline unsigned mask_or_all(unsigned mask = 0xffffffff) { return mask; }
template <int (*source)(int, int), class T>
T shuffle_from(Site site, unsigned mask, T value, int index, int width = warpSize) {
  return shuffle(mask, value, source(index, width), site);
}
template <int (*source)(unsigned, int), class T>
T shuffle_from(Site site, unsigned mask, T value, unsigned delta, int width = warpSize) {
  return shuffle(mask, value, source(delta, width), site);
}

}  // namespace cudaemu

// Macros, because they take down the line that they stand in.
#define CUDAEMU_SITE (cudaemu::Site{__FILE__, __LINE__})
#define __syncthreads() cudaemu::wait_at_barrier(CUDAEMU_SITE)
#define __syncwarp(...) cudaemu::wait_in_warp(cudaemu::mask_or_all(__VA_ARGS__), CUDAEMU_SITE, nullptr, nullptr)
#define __shfl_sync(...) cudaemu::shuffle_from<cudaemu::shuffle_source>(CUDAEMU_SITE, __VA_ARGS__)
#define __shfl_up_sync(...) cudaemu::shuffle_from<cudaemu::shuffle_source_up>(CUDAEMU_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) cudaemu::shuffle_from<cudaemu::shuffle_source_down>(CUDAEMU_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) cudaemu::shuffle_from<cudaemu::shuffle_source_xor>(CUDAEMU_SITE, __VA_ARGS__)
#define __ballot_sync(mask, predicate) cudaemu::ballot(mask, (predicate) != 0, CUDAEMU_SITE)
#define __any_sync(mask, predicate) (__ballot_sync(mask, predicate) != 0)
#define __all_sync(mask, predicate) (__ballot_sync(mask, !(predicate)) == 0)
#define __trap() cudaemu::abandon("__trap at %s:%d", __FILE__, __LINE__)

// ---- memory ---------------------------------------------------------------------------------------------------------

namespace cudaemu {

// An array whose writes are counted, one counter for each byte.
struct Watch {
  uintptr_t begin;
  size_t size;
  uint8_t* counts;
};

static const Watch* watches;
static size_t watch_count;

CUDAEMU_UNSEEN inline void count_write(const Watch& watch, uintptr_t address, size_t bytes) {
  for (uintptr_t byte = address; byte < address + bytes; ++byte) {
    const size_t offset = byte - watch.begin;
    if (byte >= watch.begin && offset < watch.size && watch.counts[offset] < 255) {
      ++watch.counts[offset];
    }
  }
}

// Called by the kernels for each store to global memory.
CUDAEMU_UNSEEN inline void wrote(const void* address, size_t bytes) {
  for (size_t i = 0; i < watch_count; ++i) {
    count_write(watches[i], reinterpret_cast<uintptr_t>(address), bytes);
  }
}

}  // namespace cudaemu

template <class T>
T __ldg(const T* address) {
  return *address;
}

// Atomic for ThreadSanitizer's sake: no two fibers run at the same time.
template <class T>
T atomicAdd(T* address, std::common_type_t<T> value) {
  T old;
  T sum;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    sum = old + value;
  } while (!__atomic_compare_exchange(address, &old, &sum, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

// ---- arithmetic -----------------------------------------------------------------------------------------------------

// Of two different types, as CUDA's overloads; of floating-point numbers, the one that is not NaN.
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmin(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(b) < static_cast<T>(a) ? b : a;
  }
}

template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmax(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(a) < static_cast<T>(b) ? b : a;
  }
}

namespace cudaemu {
template <class To, class From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace cudaemu

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline int __float_as_int(float x) { return cudaemu::bits_as<int>(x); }
inline unsigned __float_as_uint(float x) { return cudaemu::bits_as<unsigned>(x); }
inline float __int_as_float(int x) { return cudaemu::bits_as<float>(x); }
inline float __uint_as_float(unsigned x) { return cudaemu::bits_as<float>(x); }
inline long long __double_as_longlong(double x) { return cudaemu::bits_as<long long>(x); }
inline double __longlong_as_double(long long x) { return cudaemu::bits_as<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
using std::abs;
using std::exp;
using std::fabs;
using std::fma;
using std::isfinite;
using std::isinf;
using std::isnan;
using std::log;
using std::pow;
using std::sqrt;
using std::tanh;

// ---- launch ---------------------------------------------------------------------------------------------------------

namespace cudaemu {

struct Memory {
  void* begin;
  size_t size;
};

// One launch, as emulator.py describes it (`_Launch` there has the same layout).
struct Launch {
  unsigned grid[3];
  unsigned block[3];
  size_t dynamic_shared_bytes;
  const Memory* static_shared;
  size_t static_shared_count;
  const Watch* watches;
  size_t watch_count;
  int order;
  unsigned seed;
  char* message;
  size_t message_size;
};

// A parameter of a kernel, for emulator.py (`_Parameter` there). The kind and the size are those of the value, or of
// what a pointer points to: f floating point, i and u integers, b bool, V anything else.
struct Parameter {
  int is_pointer;
  char kind;
  unsigned size;
};

template <class T>
constexpr char kind_of() {
  if (std::is_same_v<T, bool>) {
    return 'b';
  }
  if (std::is_floating_point_v<T>) {
    return 'f';
  }
  if (std::is_integral_v<T>) {
    return std::is_signed_v<T> ? 'i' : 'u';
  }
  return 'V';
}

template <class T>
constexpr unsigned size_of() {
  if constexpr (std::is_void_v<T>) {
    return 0;
  } else {
    return sizeof(T);
  }
}

template <class T>
constexpr Parameter parameter() {
  using Value = std::remove_cv_t<std::remove_pointer_t<T>>;
  return {std::is_pointer_v<T>, kind_of<Value>(), size_of<Value>()};
}

// The number of parameters; as many as fit are described.
template <class... Parameters>
int describe(void (*)(Parameters...), Parameter* out, int capacity) {
  const Parameter all[] = {parameter<Parameters>()..., Parameter{}};
  const int count = sizeof...(Parameters);
  for (int i = 0; i < count && i < capacity; ++i) {
    out[i] = all[i];
  }
  return count;
}

// A kernel with pointers to its arguments.
template <class... Parameters>
struct Call {
  void (*kernel)(Parameters...);
  void** arguments;

  template <size_t... I>
  void run(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<Parameters>*>(arguments[I])...);
  }
  static void run(void* call) { static_cast<Call*>(call)->run(std::index_sequence_for<Parameters...>{}); }
};

CUDAEMU_UNSEEN inline void prepare_threads() {
  const int known = static_cast<int>(machine.threads.size());
  const int count = machine.thread_count;
  if (known < count) {
    machine.threads.resize(count);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const size_t size = (count - known + 1) * stack_size;  // one more, into which the lowest can overflow
    char* stacks = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0));
    for (int i = known; i < count; ++i) {
      Thread& thread = machine.threads[i];
      thread.number = i;
      thread.stack = stacks + (i - known + 1) * stack_size;
      thread.fiber.stack = thread.stack;
      thread.fiber.stack_size = stack_size;
    }
  }
  for (int i = 0; i < count; ++i) {
    const unsigned number = i;
    machine.threads[i].index = {number % blockDim.x, number / blockDim.x % blockDim.y,
                                number / (blockDim.x * blockDim.y)};
  }
}

CUDAEMU_UNSEEN inline void create_tsan_fibers() {
#if defined(__SANITIZE_THREAD__)
  machine.scheduler.tsan_fiber = __tsan_get_current_fiber();
  for (int i = 0; i < machine.thread_count; ++i) {
    machine.threads[i].fiber.tsan_fiber = __tsan_create_fiber(0);
  }
#endif
}

CUDAEMU_UNSEEN inline void destroy_tsan_fibers() {
#if defined(__SANITIZE_THREAD__)
  for (int i = 0; i < machine.thread_count; ++i) {
    __tsan_destroy_fiber(machine.threads[i].fiber.tsan_fiber);
  }
#endif
}

// All shared memory holds bytes of ones, which are NaN in every floating-point type and -1 in integers.
CUDAEMU_UNSEEN inline void spoil_shared_memory(const Launch& launch) {
  std::memset(dynamic_shared_memory, 0xff, launch.dynamic_shared_bytes);
  for (size_t i = 0; i < launch.static_shared_count; ++i) {
    std::memset(launch.static_shared[i].begin, 0xff, launch.static_shared[i].size);
  }
}

CUDAEMU_UNSEEN inline void run_blocks(const Launch& launch) {
  std::vector<uint64_t> blocks(static_cast<uint64_t>(gridDim.x) * gridDim.y * gridDim.z);
  arrange(blocks.data(), static_cast<uint64_t>(blocks.size()));
  for (uint64_t block : blocks) {
    blockIdx = {static_cast<unsigned>(block % gridDim.x), static_cast<unsigned>(block / gridDim.x % gridDim.y),
                static_cast<unsigned>(block / gridDim.x / gridDim.y)};
    spoil_shared_memory(launch);
    happens_before(&machine.start_token);
    run_block();
    happens_after(&machine.end_token);
    if (machine.failed) {
      return;
    }
  }
}

// Runs a kernel; whether it went well. If not, the message says why.
template <class... Parameters>
CUDAEMU_UNSEEN bool run(void (*kernel)(Parameters...), const Launch& launch, void** arguments) {
  Call<Parameters...> call{kernel, arguments};
  machine.kernel = Call<Parameters...>::run;
  machine.call = &call;
  machine.message = launch.message;
  machine.message_size = launch.message_size;
  machine.failed = false;
  machine.order = launch.order;
  machine.random = launch.seed;
  gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
  blockDim = {launch.block[0], launch.block[1], launch.block[2]};
  machine.thread_count = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  watches = launch.watches;
  watch_count = launch.watch_count;

  prepare_threads();
  create_tsan_fibers();
  unsigned char* unused = dynamic_shared_memory + launch.dynamic_shared_bytes;
  set_forbidden(unused, max_shared_bytes - launch.dynamic_shared_bytes, true);
  run_blocks(launch);
  set_forbidden(unused, max_shared_bytes - launch.dynamic_shared_bytes, false);
  destroy_tsan_fibers();
  return !machine.failed;
}

}  // namespace cudaemu
