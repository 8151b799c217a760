// Convolution as a product of matrices that are never laid out: implicit GEMM.
//
// A convolution pairs positions of a window with taps of the kernel. For a position p = (n, o) and a tap q = (t, c) let
//
//     X[p, q] = x[n, c, o*stride + t*dilation - low], or 0 outside of x.
//
// Both convolutions are products with this matrix, and one main loop serves both:
//
//     FORWARD   y[p, k]  = sum_q X[p, q] * w[q, k] (+ bias[k])    rows are positions, the sum runs over taps
//     WEIGHT    dw[q, k] = sum_p X[p, q] * g[p, k]                rows are taps, the sum runs over positions
//
// The third sibling, the gradient in x, is FORWARD over views (see conv.py): of g, of w with its axes exchanged and its
// taps reversed, and of every stride-th element of dx. So strides are arguments, of any sign, and nothing is assumed.
//
// A block of threads computes TILE x TILE elements of a result. It keeps strips of STEP columns of X and rows of the
// other factor in shared memory; each thread holds EACH x EACH sums in registers.

#define FORWARD 0
#define WEIGHT 1

const int TILE = 64, STEP = 16, EACH = 4, THREADS = (TILE / EACH) * (TILE / EACH);
const int GAP = 4;  // spreads the columns of a strip over the banks of shared memory, and keeps rows 16-byte aligned

template <int D> struct Form {
    int64 batch, groups, inputs, outputs;  // inputs and outputs: channels of one group
    Window<D> window;
    Strides<D> x, y;  // y: of the result (FORWARD) or of the gradient g (WEIGHT)
    int64 w_group, w_out, w_in, w_tap[D];
};

// A position or a tap, taken apart once: what it adds to an offset into x and to its coordinates there, and its offset
// in the other array that it indexes (positions: y; taps: w).
template <int D, class I> struct Part {
    I x, other;
    int at[D];
};

template <int D, class I> __device__ Part<D, I> position(const Form<D>& f, I index) {
    Part<D, I> part;
    part.x = part.other = 0;
    for (int d = D - 1; d >= 0; --d) {
        I o = take_last(index, f.window.out[d]);
        int at = (int)(o * (I)f.window.stride[d]) - (int)f.window.low[d];
        part.at[d] = at;
        part.x += at * (I)f.x.at[d];
        part.other += o * (I)f.y.at[d];
    }
    part.x += index * (I)f.x.n;
    part.other += index * (I)f.y.n;
    return part;
}

template <int D, class I> __device__ Part<D, I> tap(const Form<D>& f, I index) {
    Part<D, I> part;
    I c = take_last(index, f.inputs);
    part.x = c * (I)f.x.c;
    part.other = c * (I)f.w_in;
    for (int d = D - 1; d >= 0; --d) {
        I t = take_last(index, f.window.kernel[d]);
        part.at[d] = (int)t * (int)f.window.dilation[d];
        part.x += part.at[d] * (I)f.x.at[d];
        part.other += t * (I)f.w_tap[d];
    }
    return part;
}

// X[p, q]: 0 where the window looks outside.
template <class T, int D, class I>
__device__ __forceinline__ typename Sum<T>::type
element(const T* x, const Form<D>& f, const Part<D, I>& p, const Part<D, I>& q) {
    bool inside = true;
    for (int d = 0; d < D; ++d) inside = inside && (unsigned)(p.at[d] + q.at[d]) < (unsigned)f.window.size[d];
    return inside ? load(x + p.x + q.x) : typename Sum<T>::type(0);
}

// __launch_bounds__(THREADS, 1): asked for room for one block, ptxas takes the registers it needs; left alone, it spills
// some to fit a block more.
//
// blockIdx: x, y a tile of the result; z = share * groups + group. The sum of WEIGHT is long and its result small, so it
// is cut into `shares`, each with a block and a partial result of its own, which `add_shares` adds up in a fixed order.
template <class T, int MODE, int D, class I>
__global__ void __launch_bounds__(THREADS, 1)
product(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias, T* __restrict__ y,
        const T* __restrict__ g, typename Sum<T>::type* __restrict__ partial, Form<D> f, int shares) {
    typedef typename Sum<T>::type S;
    __shared__ S left[STEP][TILE + GAP], right[STEP][TILE + GAP];
    __shared__ Part<D, I> rows[TILE], steps[STEP];

    const I positions = (I)(f.batch * volume(f.window.out)), taps = (I)(f.inputs * volume(f.window.kernel));
    const I height = MODE == FORWARD ? positions : taps, depth = MODE == FORWARD ? taps : positions;
    const int group = blockIdx.z % f.groups, share = blockIdx.z / (int)f.groups;
    const I length = (depth + (I)shares * STEP - 1) / ((I)shares * STEP) * STEP;  // of a share, in whole steps
    const I start = share * length, stop = start + length < depth ? start + length : depth;
    const I row0 = (I)blockIdx.x * TILE, column0 = (I)blockIdx.y * TILE;
    const int thread = threadIdx.x;
    const int my_row = thread / (TILE / EACH) * EACH, my_column = thread % (TILE / EACH) * EACH;

    x += group * f.inputs * f.x.c;
    const T* other = MODE == FORWARD ? w + group * f.w_group : g + group * f.outputs * f.y.c;
    const int64 other_column = MODE == FORWARD ? f.w_out : f.y.c;

    for (int i = thread; i < TILE; i += THREADS)
        if (row0 + i < height) rows[i] = MODE == FORWARD ? position(f, row0 + i) : tap(f, row0 + i);
    __syncthreads();

    S sums[EACH][EACH] = {};
    for (I first = start; first < stop; first += STEP) {
        if (thread < STEP && first + thread < stop)
            steps[thread] = MODE == FORWARD ? tap(f, first + thread) : position(f, first + thread);
        // Waits for the new steps, and for every thread to be done with the strips of the last round.
#ifndef PLANTED_WRITE_AFTER_READ  // the tests plant these bugs, to see that they are noticed
        __syncthreads();
#endif
        // Neighbouring threads read neighbouring channels, of x along the sum (FORWARD), of w and g along the columns.
        for (int i = thread; i < TILE * STEP; i += THREADS) {
            int step = MODE == FORWARD ? i % STEP : i / TILE, row = MODE == FORWARD ? i / STEP : i % TILE;
            bool there = row0 + row < height && first + step < stop;
            left[step][row] = there ? element(x, f, rows[row], steps[step]) : S(0);
        }
        for (int i = thread; i < TILE * STEP; i += THREADS) {
            int step = i / TILE, column = i % TILE;
            bool there = column0 + column < f.outputs && first + step < stop;
            right[step][column] = there ? load(other + steps[step].other + (column0 + column) * other_column) : S(0);
        }
#ifndef PLANTED_MISSING_BARRIER
        __syncthreads();
#endif
#pragma unroll
        for (int step = 0; step < STEP; ++step)
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j)
                    sums[i][j] += left[step][my_row + i] * right[step][my_column + j];
    }

#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
            const I row = row0 + my_row + i, column = column0 + my_column + j;
#ifdef PLANTED_OUT_OF_BOUNDS
            if (row >= height) continue;
#else
            if (row >= height || column >= f.outputs) continue;
#endif
            if (MODE == FORWARD) {
                const int64 k = group * f.outputs + column;
                const S added = bias ? sums[i][j] + load(bias + k) : sums[i][j];
                store(y + rows[my_row + i].other + k * f.y.c, added);
            } else {
                const int64 block = (int64)share * f.groups + group;
                put(partial + (block * height + row) * f.outputs + column, sums[i][j]);
            }
        }
}

// The sum of the shares of `product<WEIGHT>`, always in the same order: dw, laid out as the strides of w say.
template <class T, int D>
__global__ void add_shares(const typename Sum<T>::type* __restrict__ partial, T* __restrict__ dw, Form<D> f, int shares) {
    const int64 taps = f.inputs * volume(f.window.kernel), size = f.groups * taps * f.outputs;
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += (int64)gridDim.x * blockDim.x) {
        typename Sum<T>::type total = 0;
        for (int share = 0; share < shares; ++share) total += partial[share * size + i];
        int64 index = i;
        const int64 k = take_last(index, f.outputs), row = take_last(index, taps);
        store(dw + index * f.w_group + k * f.w_out + tap(f, row).other, total);
    }
}

// FORWARD with a thread for each element of y, tap by tap: for few channels in a group, where a tile would be empty.
template <class T, int D, class I>
__global__ void direct(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias, T* __restrict__ y,
                       Form<D> f) {
    const int64 channels = f.groups * f.outputs, size = f.batch * volume(f.window.out) * channels;
    const I taps = (I)(f.inputs * volume(f.window.kernel));
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += (int64)gridDim.x * blockDim.x) {
        int64 index = i;
        const int64 k = take_last(index, channels), group = k / f.outputs;
        const Part<D, I> p = position(f, (I)index);
        const T* xs = x + group * f.inputs * f.x.c;
        const T* ws = w + group * f.w_group + k % f.outputs * f.w_out;
        typename Sum<T>::type total = 0;
        for (I q = 0; q < taps; ++q) {
            const Part<D, I> part = tap(f, q);
            total += element(xs, f, p, part) * load(ws + part.other);
        }
        if (bias) total += load(bias + k);
        store(y + p.other + k * f.y.c, total);
    }
}

// WEIGHT with a block for each element of dw: its threads go over the positions, and their sums are added in pairs.
template <class T, int D, class I>
__global__ void __launch_bounds__(THREADS, 1)
direct_weight(const T* __restrict__ x, const T* __restrict__ g, T* __restrict__ dw, Form<D> f) {
    typedef typename Sum<T>::type S;
    __shared__ S sums[THREADS];
    int64 index = blockIdx.x;
    const int64 k = take_last(index, f.outputs), row = take_last(index, f.inputs * volume(f.window.kernel));
    const Part<D, I> q = tap(f, (I)row);
    const I positions = (I)(f.batch * volume(f.window.out));
    x += index * f.inputs * f.x.c;
    g += (index * f.outputs + k) * f.y.c;
    S total = 0;
    for (I i = threadIdx.x; i < positions; i += THREADS) {
        const Part<D, I> p = position(f, i);
        total += element(x, f, p, q) * load(g + p.other);
    }
    sums[threadIdx.x] = total;
    for (int half_ = THREADS / 2; half_ > 0; half_ /= 2) {
        __syncthreads();
        if (threadIdx.x < half_) sums[threadIdx.x] += sums[threadIdx.x + half_];
    }
    if (threadIdx.x == 0) store(dw + index * f.w_group + k * f.w_out + q.other, sums[0]);
}
