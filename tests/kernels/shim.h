// CUDA's words on a CPU: a block's threads are fibers (begun by ucontext, switched by longjmp, which is far quicker),
// __syncthreads passes control to the next, __shared__ is static. One block at a time. g++ compiles a kernel's own file behind this header: -DKERNEL=name -DSOURCE="name.cu"
// -DBARRIERS=1, or 0 where a kernel has none and its threads need no stacks of their own.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
using std::max;
using std::min;
struct dim3 {
    unsigned x, y, z;
};
struct float4 {
    float x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline int atomicAdd(int* at, int value) { return std::exchange(*at, *at + value); }

static dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace shim {
enum State { RUNNING, WAITING, DONE };
struct Fiber {
    ucontext_t begun;
    jmp_buf paused;
};
static ucontext_t unused;
static jmp_buf scheduler;
static std::vector<Fiber> fibers;
static std::vector<State> states;
static void (*call)(void**);
static void** arguments;

static void fiber(int me) {
    call(arguments);
    states[me] = DONE;
    _longjmp(scheduler, 1);
}

static void stand_on(unsigned t) {
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

// Every thread from one barrier to the next, last first if `reversed`. false: some waited where others had ended.
static bool block(int threads, bool reversed) {
    static std::vector<char> stacks;
    constexpr size_t STACK = 1 << 16;
    for (int i = 0; i < threads && !BARRIERS; ++i) stand_on(reversed ? threads - 1 - i : i), call(arguments);
    if (!BARRIERS) return true;
    fibers.resize(threads), states.assign(threads, RUNNING), stacks.resize(threads * STACK);
    for (int t = 0; t < threads; ++t) {
        getcontext(&fibers[t].begun);
        fibers[t].begun.uc_stack = {&stacks[t * STACK], 0, STACK};
        makecontext(&fibers[t].begun, (void (*)())fiber, 1, t);
    }
    for (size_t ended = 0; ended < states.size();) {
        for (volatile int i = 0; i < threads; i = i + 1) {
            volatile unsigned t = reversed ? threads - 1 - i : i;
            stand_on(t);
            if (_setjmp(scheduler)) continue;
            if (states[t] == WAITING) _longjmp(fibers[t].paused, 1);
            swapcontext(&unused, &fibers[t].begun);
        }
        ended = std::count(states.begin(), states.end(), DONE);
        if (ended > 0 && ended < states.size()) return false;
    }
    return true;
}

template <class... Types, size_t... I>
void unpack(void (*kernel)(Types...), void** values, std::index_sequence<I...>) {
    kernel(*(std::remove_reference_t<Types>*)values[I]...);
}
template <class... Types>
void invoke(void (*kernel)(Types...), void** values) {
    unpack(kernel, values, std::index_sequence_for<Types...>());
}
}  // namespace shim

[[maybe_unused]] static void __syncthreads() {
    unsigned me = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    shim::states[me] = shim::WAITING;
    if (!_setjmp(shim::fibers[me].paused)) _longjmp(shim::scheduler, 1);
}

#include SOURCE

// grid and block: three numbers each; values: addresses of the arguments. -> 0, or 1 where the threads of a block parted.
extern "C" int run(const unsigned* grid, const unsigned* threads, void** values, int reversed) {
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {threads[0], threads[1], threads[2]};
    shim::call = [](void** v) { shim::invoke(KERNEL, v); };
    shim::arguments = values;
    for (unsigned i = 0; i < grid[0] * grid[1] * grid[2]; ++i) {
        unsigned b = reversed ? grid[0] * grid[1] * grid[2] - 1 - i : i;
        blockIdx = {b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]};
        if (!shim::block(threads[0] * threads[1] * threads[2], reversed)) return 1;
    }
    return 0;
}
