// A decoded frame as the card holds it, and how its pixels are read: resampled from 4:2:0, then to RGB.
//
//   resampled(c) = sum_j w(|j - c|) plane[j] / sum_j w, per axis, s source pixels a target pixel, edges repeated:
//     s <= 1        w(d) = max(0, 1 - d)                      bilinear
//     s > 1, area   w(d) = min(1, max(0, (1 + s) / 2 - d))    the mean over the target pixel's own area
//     s > 1, tent   w(d) = max(0, 1 - d / s)
//   rgb = M (y, u, v) + offset, clipped to 0..255; M of BT.601, 709 or 2020, limited or full range, comes with the frame.
//
// Those are swscale's filters of the same names. A sample of chroma lies in the middle of four of luma where the frame's
// chroma_x and chroma_y are 0, and between the two on the left, as H.264 has it, where chroma_x is 1/4 of a pixel of chroma.
#pragma once

// Laid out as FRAME in vcn_trt/backends/cuda/frame.py.
struct Frame {
    const unsigned char* luma;    // (height, width), rows luma_pitch bytes apart
    const unsigned char* chroma;  // (ceil(height / 2), ceil(width / 2), 2): u and v in turn
    long long luma_pitch, chroma_pitch;
    int width, height;              // as coded
    int shown_width, shown_height;  // as displayed: square pixels, turned
    int wide;                       // 0: bytes; 1: 16 bits a sample, the value in the upper ones
    int transpose, mirror_x, mirror_y;  // from coded to displayed, in this order
    float colour[12];               // rows of red, green, blue: factors of y, u, v (8-bit scale) and the offset
    float chroma_x, chroma_y;       // by which the target's pixels lie further right and down among those of chroma
    float black, gain;              // luma to full range: (y - black) * gain
};

static_assert(sizeof(Frame) == 128, "FRAME_BYTES in vcn_trt/backends/cuda/kernels.py");

struct Rgb {
    float red, green, blue;
};

struct Filter {  // along one axis
    float centre, scale, reach;
    bool area;
};

// Target pixel i of an axis on which `source` pixels become `target`.
__device__ inline Filter filter_at(int i, int source, int target, bool area, float shift = 0.0f) {
    Filter f;
    f.scale = (float)source / (float)target;
    f.centre = (i + 0.5f) * f.scale - 0.5f + shift;
    f.area = area;
    f.reach = f.scale <= 1.0f ? 1.0f : area ? (f.scale + 1.0f) * 0.5f : f.scale;
    return f;
}

__device__ inline float weight(const Filter& f, int j) {
    float d = fabsf(j - f.centre);
    if (f.scale <= 1.0f) return fmaxf(0.0f, 1.0f - d);
    if (f.area) return fminf(1.0f, fmaxf(0.0f, f.reach - d));
    return fmaxf(0.0f, 1.0f - d / f.scale);
}

// One sample on the 8-bit scale.
__device__ inline float sample(const unsigned char* row, int i, int wide) {
    return wide ? ((const unsigned short*)row)[i] * (1.0f / 256.0f) : (float)row[i];
}

// A plane of (rows, columns, CHANNELS) where the two filters stand.
template <int CHANNELS>
__device__ inline void resampled(const unsigned char* plane, long long pitch, int wide, int rows, int columns,
                                 const Filter& fy, const Filter& fx, float (&out)[CHANNELS]) {
    int top = (int)ceilf(fy.centre - fy.reach), bottom = (int)floorf(fy.centre + fy.reach);
    int left = (int)ceilf(fx.centre - fx.reach), right = (int)floorf(fx.centre + fx.reach);
    float total = 0.0f;
    for (int c = 0; c < CHANNELS; ++c) out[c] = 0.0f;
    for (int y = top; y <= bottom; ++y) {
        float wy = weight(fy, y);
        if (wy == 0.0f) continue;
        const unsigned char* row = plane + min(max(y, 0), rows - 1) * pitch;
        for (int x = left; x <= right; ++x) {
            float w = wy * weight(fx, x);
            if (w == 0.0f) continue;
            int at = min(max(x, 0), columns - 1) * CHANNELS;
            total += w;
            for (int c = 0; c < CHANNELS; ++c) out[c] += w * sample(row, at + c, wide);
        }
    }
    for (int c = 0; c < CHANNELS; ++c) out[c] /= total;
}

__device__ inline float clipped(float value) { return fminf(255.0f, fmaxf(0.0f, value)); }

// Pixel (x, y) of the displayed picture at width x height. area: as swscale's AREA has it, where pairs of pixels along
// the coded rows share their chroma unless the number of columns is odd; else tent, every pixel with its own.
__device__ inline Rgb rgb_at(const Frame& f, int x, int y, int width, int height, bool area) {
    if (f.mirror_x) x = width - 1 - x;
    if (f.mirror_y) y = height - 1 - y;
    if (f.transpose) {
        int swap = x;
        x = y, y = swap;
        swap = width, width = height, height = swap;
    }
    float luma[1], uv[2];
    resampled(f.luma, f.luma_pitch, f.wide, f.height, f.width, filter_at(y, f.height, height, area),
              filter_at(x, f.width, width, area), luma);
    int rows = (f.height + 1) / 2, columns = (f.width + 1) / 2, shared = area && width % 2 == 0 ? 2 : 1;
    resampled(f.chroma, f.chroma_pitch, f.wide, rows, columns, filter_at(y, rows, height, area, f.chroma_y),
              filter_at(x / shared, columns, width / shared, area, f.chroma_x), uv);
    const float* m = f.colour;
    Rgb rgb;
    rgb.red = clipped(m[0] * luma[0] + m[1] * uv[0] + m[2] * uv[1] + m[3]);
    rgb.green = clipped(m[4] * luma[0] + m[5] * uv[0] + m[6] * uv[1] + m[7]);
    rgb.blue = clipped(m[8] * luma[0] + m[9] * uv[0] + m[10] * uv[1] + m[11]);
    return rgb;
}
